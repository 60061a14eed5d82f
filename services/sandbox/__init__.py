"""The sandbox: doubles of the providers that speak the real protocols, so the same adapters run as in production."""

from services.sandbox.clock import Timeline
from services.sandbox.sandbox import Sandbox, SandboxConfig

__all__ = ["Sandbox", "SandboxConfig", "Timeline"]
