# expect: refused
# expect-nofilter: other_exception|refused
import urllib.request

print("BREACH", urllib.request.urlopen("http://127.0.0.1:1/").read())
