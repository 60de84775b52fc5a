from . import GraphCell as GraphCell

__all__ = ["GraphCell"]
