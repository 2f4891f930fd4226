# expect: refused
# expect-nofilter: ok
import os
import cadquery as cq

path = "@CANARY@"
deeds = [
    lambda: os.unlink(path),
    lambda: os.rename(path, path + "2"),
    lambda: os.symlink("/etc/passwd", path + ".link"),
    lambda: os.link(path, path + ".hard"),
    lambda: os.mkdir(path + ".d"),
    lambda: os.chmod(path, 0o777),
    lambda: os.chown(path, 0, 0),
    lambda: os.utime(path),
    lambda: os.truncate(path, 0),
    lambda: os.mkfifo(path + ".fifo"),
    lambda: os.setxattr(path, "user.x", b"1"),
    lambda: os.chdir("/tmp"),
    lambda: os.chroot("/"),
    lambda: os.rmdir(os.path.dirname(path)),
]
for deed in deeds:
    try:
        deed()
        print("BREACH")
    except OSError:
        pass
fixture = cq.Workplane().box(1, 1, 1)
