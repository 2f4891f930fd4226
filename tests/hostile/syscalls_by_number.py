# expect: refused
# expect-nofilter: ok
# Every system call that has no business in a part, by number and with harmless arguments.
import ctypes
import platform
import cadquery as cq

libc = ctypes.CDLL(None, use_errno=True)
x86 = dict(
    ptrace=101, process_vm_readv=310, process_vm_writev=311, io_uring_setup=425, io_uring_enter=426,
    memfd_create=319, memfd_secret=447, userfaultfd=323, bpf=321, perf_event_open=298, mount=165, umount2=166,
    unshare=272, setns=308, pivot_root=155, chroot=161, keyctl=250, add_key=248, request_key=249,
    pidfd_open=434, pidfd_getfd=438, pidfd_send_signal=424, personality=135, shmget=29, semget=64, msgget=68,
    mq_open=240, inotify_init1=294, fanotify_init=300, eventfd2=290, signalfd4=289, timerfd_create=283,
    epoll_create1=291, socket=41, socketpair=53, vfork=58, fork=57, clone3=435, execveat=322, setrlimit=160,
    prctl=157, arch_prctl=158, modify_ldt=154, iopl=172, ioperm=173, init_module=175, kexec_load=246, reboot=169,
    swapon=167, sethostname=170, settimeofday=164, clock_settime=227, adjtimex=159, syslog=103, acct=163,
    quotactl=179, name_to_handle_at=303, open_by_handle_at=304, openat2=437, open_tree=428, move_mount=429,
    fsopen=430, landlock_create_ruleset=444, seccomp=317, rt_sigqueueinfo=129, rt_tgsigqueueinfo=297, tkill=200,
    kcmp=312, membarrier=324, pkey_alloc=330, vmsplice=278, splice=275, tee=276, sendfile=40, copy_file_range=326,
    pipe2=293, creat=85, mknod=133, setxattr=188, fallocate=285, ftruncate=77, fchmod=91, flock=73, sync=162,
    move_pages=279, mbind=237, set_mempolicy=238, migrate_pages=256, process_madvise=440, mlockall=151,
    sched_setattr=314, setpriority=141, ioprio_set=251, timer_create=222, setitimer=38, alarm=37, pause=34,
)
if platform.machine() == "x86_64":
    for name, number in x86.items():
        ctypes.set_errno(0)
        if libc.syscall(number, 0, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() != 1:
            print("BREACH", name, ctypes.get_errno())
fixture = cq.Workplane().box(1, 1, 1)
