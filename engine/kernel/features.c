/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/kernel/features.h"

#include <errno.h>
#include <stddef.h>

#include "engine/kernel/probes.h"

#define REQUIRED(n, fn, what)                                          \
	{                                                              \
		.name = n, .required = true, .lost = what, .probe = fn \
	}
#define OPTIONAL(n, fn, what)                        \
	{                                            \
		.name = n, .lost = what, .probe = fn \
	}
/* What this engine does not do yet, whatever the kernel can: clients that ask must not rely on it.
 */
#define LATER(n, fn, what)                                                                   \
	{                                                                                    \
		.name = n, .lost = what "; this engine does not do that yet", .later = true, \
		.probe = fn                                                                  \
	}

const struct kernel_feature kernel_features[] = {
	REQUIRED("kernel", probe_minimum, "anything: kernels before 5.15 are not supported"),
	REQUIRED("cap_checkpoint_restore", probe_cap_checkpoint,
		 "restoring pids: this needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN"),
	REQUIRED("cap_sys_ptrace", probe_cap_ptrace,
		 "stopping the tasks of others: this needs CAP_SYS_PTRACE"),
	OPTIONAL("cap_sys_resource", probe_cap_resource,
		 "raising limits and OOM scores: tasks that have them cannot be restored"),

	/* processes */
	REQUIRED("clone3_set_tid", probe_clone3_set_tid, "restoring tasks under their pids"),
	REQUIRED("ptrace_seize", probe_ptrace_seize, "stopping tasks and reading their registers"),
	REQUIRED("peeksiginfo", probe_peeksiginfo, "keeping pending signals"),
	REQUIRED("process_vm", probe_process_vm, "reading and writing the memory of tasks"),
	REQUIRED("pidfd_getfd", probe_pidfd_getfd, "looking at the descriptors of tasks"),
	REQUIRED("kcmp", probe_kcmp, "telling which tasks share memory, descriptors and files"),
	REQUIRED("proc_children", probe_proc_children, "finding the children of a task"),
	REQUIRED("prctl_mm_map", probe_prctl_mm_map,
		 "restoring where heap, stack and arguments are"),
	OPTIONAL("ns_pid", probe_ns_pid, "dumping tasks of other pid namespaces"),
	OPTIONAL("pidfd_store", probe_pidfd_getfd,
		 "recognising reused pids between incremental dumps"),
	OPTIONAL("get_rseq_conf", probe_get_rseq_conf,
		 "tasks that use restartable sequences (glibc 2.35 does)"),
	OPTIONAL("seccomp_suspend", probe_seccomp_suspend, "tasks with seccomp filters"),
	OPTIONAL("seccomp_filters", probe_seccomp_filters, "tasks with seccomp filters"),
	OPTIONAL("seccomp_metadata", probe_seccomp_metadata, "the log flag of seccomp filters"),
	OPTIONAL("timer_cr_ids", probe_timer_cr_ids,
		 "restoring POSIX timers with high ids at once: they are made and deleted one by "
		 "one"),
	OPTIONAL("loginuid", probe_loginuid, "the audit login uid of tasks"),
	OPTIONAL("breakpoints", probe_nothing, "nothing: this engine sets none"),
	LATER("compat_cr", probe_nothing, "32-bit tasks"),
	LATER("apparmor_stacking", probe_nothing, "AppArmor profiles of containers"),

	/* memory */
	REQUIRED("map_files", probe_map_files, "mappings of deleted and shared files"),
	OPTIONAL("can_map_vdso", probe_can_map_vdso, "restoring the vDSO where it was"),
	OPTIONAL("pagemap_scan", probe_pagemap_scan,
		 "fast finding of used pages: pagemap is read instead"),
	OPTIONAL("pagemap_scan_guard_pages", probe_guard_pages, "guard pages set by madvise(2)"),
	OPTIONAL("memfd_hugetlb", probe_memfd_hugetlb, "memory files of huge pages"),
	OPTIONAL("overlayfs_maps", probe_overlayfs_maps,
		 "exact names of files mapped from overlayfs"),
	OPTIONAL("aio_remap", probe_aio_remap, "rings of kernel AIO where they were"),
	LATER("mem_dirty_track", probe_mem_track, "incremental dumps (pre-dump, --track-mem)"),
	LATER("uffd", probe_uffd, "restoring memory on demand (--lazy-pages)"),
	LATER("uffd-noncoop", probe_uffd_noncoop,
	      "restoring memory on demand of tasks that fork or remap"),

	/* files and IPC */
	OPTIONAL("mnt_id", probe_mnt_id, "files on mounts of containers"),
	OPTIONAL("kcmp_epoll", probe_kcmp_epoll, "epoll descriptors whose targets were duplicated"),
	OPTIONAL("fcntl_owner_uids", probe_fcntl_owner_uids,
		 "owners of descriptors that send signals"),
	OPTIONAL("timerfd", probe_timerfd, "expirations of timerfd that were not read yet"),
	OPTIONAL("ipc_next_id", probe_ipc_next_id, "System V IPC objects under their ids"),
	OPTIONAL("fdinfo_lock", probe_fdinfo_lock, "file locks (--file-locks)"),
	LATER("tun", probe_nothing, "TUN and TAP devices"),
	LATER("tun_ns", probe_nothing, "TUN and TAP devices of other network namespaces"),

	/* mounts and namespaces */
	OPTIONAL("openat2", probe_openat2, "paths inside of containers"),
	OPTIONAL("open_tree", probe_open_tree, "mounts of containers"),
	OPTIONAL("fsopen", probe_fsopen, "mounts of containers"),
	OPTIONAL("move_mount_set_group", probe_move_mount_set_group, "shared and slave mounts"),
	OPTIONAL("userns", probe_userns, "user namespaces"),
	OPTIONAL("cgroupns", probe_cgroupns, "cgroup namespaces"),
	OPTIONAL("timens", probe_timens, "clocks that go on from where they were"),
	LATER("autofs", probe_nothing, "autofs mounts"),

	/* sockets and network */
	REQUIRED("sock_diag", probe_sock_diag_unix, "unix sockets"),
	OPTIONAL("so_peek_off", probe_so_peek_off, "unread data of sockets"),
	OPTIONAL("sk_ns", probe_sk_ns, "sockets of other network namespaces"),
	OPTIONAL("sk_unix_file", probe_sk_unix_file, "unix sockets whose file has moved"),
	OPTIONAL("sockopt_buf_lock", probe_sockopt_buf_lock, "fixed buffer sizes of sockets"),
	OPTIONAL("ipv6_freebind", probe_ipv6_freebind,
		 "sockets bound to IPv6 addresses that are not there"),
	OPTIONAL("tcp_half_closed", probe_tcp_repair, "open TCP connections (--tcp-established)"),
	OPTIONAL("net_diag_raw", probe_nothing, "nothing: /proc tells about raw sockets as well"),
	LATER("nsid", probe_nothing, "network devices"),
	LATER("link_nsid", probe_nothing, "network devices with a peer in another namespace"),
	OPTIONAL("external_net_ns", probe_nothing, "network namespaces given by the caller"),
	LATER("newifindex", probe_nothing, "network devices under their numbers"),
	LATER("nftables", probe_nothing, "nftables rules"),
	OPTIONAL("has_ipt_legacy", probe_ipt_legacy,
		 "cutting off TCP connections with the old iptables"),
	OPTIONAL("network_lock_nftables", probe_nft,
		 "cutting off TCP connections with nft: iptables is used"),
	{ 0 },
};

int kernel_feature_probe(const struct kernel_feature *f)
{
	int r = f->probe();

	return r == 0 && f->later ? -EOPNOTSUPP : r;
}
