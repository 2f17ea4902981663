"""Who is timed. Every module here registers its contenders and is found by being here."""
