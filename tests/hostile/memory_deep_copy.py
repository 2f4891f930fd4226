# expect: memory_limit|other_exception
# memory: 256
rows = [0]
while True:
    rows = [rows, list(rows), list(rows) * 2]
