"""``python -m nfbench``: the command line."""

from nfbench.cli import main

if __name__ == "__main__":
    main()
