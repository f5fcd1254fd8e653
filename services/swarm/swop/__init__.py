"""The SWOP node: follows a task runner and turns tasks into images, volumes and containers of its host."""
