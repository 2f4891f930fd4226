# expect: refused
# expect-nofilter: crash|refused
# int 0x80 enters by the other door (32-bit numbers), in a page of our own.
import ctypes
import mmap
import platform

if platform.machine() != "x86_64":
    raise SystemExit
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes([0xB8, 2, 0, 0, 0, 0xCD, 0x80, 0xC3]))  # mov eax, 2 (fork); int 0x80; ret
run = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
print("BREACH", run())
