"""Small right flows, and wrong ones that differ from them in one place each, as published code did."""
