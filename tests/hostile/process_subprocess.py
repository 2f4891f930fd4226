# expect: refused
# expect-nofilter: process_limit|refused
import subprocess

print("BREACH", subprocess.run(["/bin/echo", "x"], capture_output=True))
