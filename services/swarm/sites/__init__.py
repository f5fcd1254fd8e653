"""Join bundles on disk: written from an inventory, and never over what somebody changed."""
