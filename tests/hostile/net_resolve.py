# expect: refused
# expect-nofilter: other_exception|refused
import socket

print("BREACH", socket.getaddrinfo("localhost", 80))
