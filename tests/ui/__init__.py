"""Tests of the page's host side, without a browser."""
