"""Who is timed. Every module of this folder is imported at the first look-up and registers its contenders."""
