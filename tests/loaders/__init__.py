"""Tests of single loaders."""
