# expect: other_exception
# contains: RecursionError
def dig(n):
    return dig(n + 1)


dig(0)
