"""`python -m sensorium.cli`."""

from sensorium.cli import main

main()
