package sandboxtest

import "golang.org/x/sys/unix"

const arch = unix.AUDIT_ARCH_X86_64

var more = []uint32{unix.SYS_OPEN, unix.SYS_CREAT, unix.SYS_FORK, unix.SYS_VFORK}
