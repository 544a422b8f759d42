"""`python -m dianne`."""

from dianne.cli import main

main()
