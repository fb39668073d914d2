"""`python -m binsight` is `binsight`."""

from binsight.cli import main

if __name__ == "__main__":
    main()
