"""Timing of flow layers and training steps: one protocol, contenders measured in turn, agreement before any ratio."""
