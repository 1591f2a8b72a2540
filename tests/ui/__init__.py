"""The page's host side, without a browser."""
