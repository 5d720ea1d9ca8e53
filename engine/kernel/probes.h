/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The probes behind the table: 0 if the kernel has the feature, else why not as a negative errno.
 */
#pragma once

/* Runs fn in a child and gives its result; what fn changes is gone with the child. */
int probe_in_child(int (*fn)(void));

/* probe-task.c: processes, ptrace, prctl, capabilities */
int probe_cap_checkpoint(void);
int probe_cap_ptrace(void);
int probe_cap_resource(void);
int probe_clone3_set_tid(void);
int probe_get_rseq_conf(void);
int probe_kcmp(void);
int probe_kcmp_epoll(void);
int probe_minimum(void);
int probe_peeksiginfo(void);
int probe_pidfd_getfd(void);
int probe_prctl_mm_map(void);
int probe_process_vm(void);
int probe_ptrace_seize(void);
int probe_seccomp_filters(void);
int probe_seccomp_metadata(void);
int probe_seccomp_suspend(void);
int probe_timer_cr_ids(void);

/* probe-mem.c: memory */
int probe_can_map_vdso(void);
int probe_guard_pages(void);
int probe_mem_track(void);
int probe_aio_remap(void);
int probe_memfd_hugetlb(void);
int probe_overlayfs_maps(void);
int probe_pagemap_scan(void);
int probe_uffd(void);
int probe_uffd_noncoop(void);

/* probe-proc.c: files of /proc and namespaces */
int probe_cgroupns(void);
int probe_fcntl_owner_uids(void);
int probe_fdinfo_lock(void);
int probe_ipc_next_id(void);
int probe_loginuid(void);
int probe_map_files(void);
int probe_mnt_id(void);
int probe_ns_pid(void);
int probe_proc_children(void);
int probe_timens(void);
int probe_timerfd(void);
int probe_userns(void);

/* probe-fs.c: mounts */
int probe_fsopen(void);
int probe_move_mount_set_group(void);
int probe_open_tree(void);
int probe_openat2(void);

/* probe-net.c: sockets */
int probe_ipv6_freebind(void);
int probe_sk_ns(void);
int probe_sk_unix_file(void);
int probe_so_peek_off(void);
int probe_ipt_legacy(void);
int probe_nft(void);
int probe_sock_diag_unix(void);
int probe_sockopt_buf_lock(void);
int probe_tcp_repair(void);

/* Of something that nothing here needs a kernel's help for. */
int probe_nothing(void);
