# expect: refused
# expect-nofilter: process_limit
# contains-nofilter: one thread
import threading

threading.Thread(target=print).start()
print("BREACH")
