# expect: refused
# expect-nofilter: process_limit
# contains-nofilter: clone
import os

while True:
    os.fork()
    print("BREACH")
