# expect: memory_limit
# memory: 256
text = "x"
while True:
    text += text
