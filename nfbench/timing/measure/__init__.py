"""The instruments: clock, memory, the machine's own rates, agreement with the float64 reference."""
