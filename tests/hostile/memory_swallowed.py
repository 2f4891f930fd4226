# expect: wall_limit|memory_limit
# memory: 256
# wall: 0.8
# It catches its own MemoryError and goes on for ever.
rows = []
while True:
    try:
        rows.append(bytearray(1 << 20))
    except MemoryError:
        pass
