"""``python -m nfbench``: the command line."""

from nfbench.cli.app import main

if __name__ == "__main__":
    main()
