"""The name in a certificate that we issue: spiffe://<trust domain>/<site>/<role>/<name>. Pure text."""

from __future__ import annotations

import re
from dataclasses import dataclass

ROLES = ("sn", "sl", "swci", "swop")
"""Roles of a node, in the order of the architecture's table."""

TRUST_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?")
SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class SpiffeId:
    """Trust domain, site, role and name of a node.

    Raises:
        ValueError: a part has characters or a length not allowed, or the role is unknown; names the part.
    """

    trust_domain: str
    site: str
    role: str
    name: str

    def __post_init__(self) -> None:
        if not TRUST_DOMAIN.fullmatch(self.trust_domain):
            raise ValueError(f"trust domain {self.trust_domain!r:.80} is not 1 to 255 of a-z 0-9 . _ -")
        for part, value in (("site", self.site), ("name", self.name)):
            if not SEGMENT.fullmatch(value):
                raise ValueError(f"{part} {value!r:.80} is not 1 to 64 of A-Z a-z 0-9 . _ -")
        if self.role not in ROLES:
            raise ValueError(f"role {self.role!r:.80} is not one of {', '.join(ROLES)}")

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Parse exactly the form that ``str()`` gives.

        Raises:
            ValueError: any other form.
        """
        parts = text.removeprefix("spiffe://").split("/") if text.startswith("spiffe://") else []
        if len(parts) != 4:
            raise ValueError(f"{text!r:.120} is not spiffe://<trust domain>/<site>/<role>/<name>")
        return cls(*parts)

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/{self.site}/{self.role}/{self.name}"
