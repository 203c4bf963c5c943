"""Running an action or a check so that nothing of it remains. See `launch`."""

from .channel import Channel
from .worker import Launched, Output, launch

__all__ = ["Channel", "Launched", "Output", "launch"]
