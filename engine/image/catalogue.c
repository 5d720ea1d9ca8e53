/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of all image files. Magics and names are facts of the format. */
#include "engine/image/catalogue.h"

#include <string.h>

#include "proto/cgroup.pb-c.h"
#include "proto/core.pb-c.h"
#include "proto/events.pb-c.h"
#include "proto/files.pb-c.h"
#include "proto/inet.pb-c.h"
#include "proto/inventory.pb-c.h"
#include "proto/ipc.pb-c.h"
#include "proto/memory.pb-c.h"
#include "proto/mounts.pb-c.h"
#include "proto/namespaces.pb-c.h"
#include "proto/network.pb-c.h"
#include "proto/notify.pb-c.h"
#include "proto/paths.pb-c.h"
#include "proto/pipes.pb-c.h"
#include "proto/security.pb-c.h"
#include "proto/signals.pb-c.h"
#include "proto/sockets.pb-c.h"
#include "proto/stats.pb-c.h"
#include "proto/task.pb-c.h"
#include "proto/timers.pb-c.h"
#include "proto/tty.pb-c.h"

#define IMG(image_name, image_magic, message, ...)                                          \
	{                                                                                   \
		.name = image_name, .magic = image_magic, .record = &message##__descriptor, \
		##__VA_ARGS__                                                               \
	}
#define BYTES(...)                                   \
	{                                            \
		.fields = { __VA_ARGS__ }, .unit = 1 \
	}
#define RAW(image_name, beginning)                    \
	{                                             \
		.name = image_name, .file = beginning \
	}

/* clang-format off */
const struct image_content image_contents[] = {
	/* of sets that engines of today write */
	IMG("INVENTORY", 0x58313116, inventory_entry),
	IMG("PSTREE", 0x50273030, pstree_entry),
	IMG("CORE", 0x55053847, core_entry),
	IMG("IDS", 0x54432030, task_kobj_ids_entry),
	IMG("MM", 0x57492820, mm_entry),
	IMG("FS", 0x51403912, fs_entry),
	IMG("FDINFO", 0x56213732, fdinfo_entry),
	IMG("FILES", 0x56303138, file_entry),
	IMG("PAGEMAP", 0x56084025, pagemap_entry, .first = &pagemap_head__descriptor),
	IMG("TTY_INFO", 0x59453036, tty_info_entry),
	IMG("TTY_DATA", 0x59413026, tty_data_entry),
	IMG("REMAP_FPATH", 0x59133954, remap_file_path_entry),
	IMG("GHOST_FILE", 0x52583605, ghost_chunk_entry,
	    .first = &ghost_file_entry__descriptor, .after_first = { .rest = true, .unless = "chunks" },
	    .after_record = BYTES("len")),
	IMG("MEMFD_INODE", 0x48453499, memfd_inode_entry),
	IMG("SK_QUEUES", 0x56264026, sk_packet_entry, .after_record = BYTES("length")),
	IMG("PIPES_DATA", 0x56453709, pipe_data_entry, .after_record = BYTES("bytes")),
	IMG("FIFO_DATA", 0x59333054, pipe_data_entry, .after_record = BYTES("bytes")),
	IMG("TCP_STREAM", 0x51465506, tcp_stream_entry,
	    .after_record = BYTES("inq_len", "outq_len")),
	IMG("FILE_LOCKS", 0x54323616, file_lock_entry),
	IMG("CGROUP", 0x59383330, cgroup_entry),
	IMG("SECCOMP", 0x64413049, seccomp_entry),
	IMG("APPARMOR", 0x59423047, apparmor_entry),
	IMG("BPFMAP_FILE", 0x57506142, bpfmap_file_entry),
	IMG("BPFMAP_DATA", 0x64324033, bpfmap_data_entry,
	    .after_record = BYTES("keys_bytes", "values_bytes")),
	IMG("UTSNS", 0x54473203, utsns_entry),
	IMG("IPC_VAR", 0x53115007, ipc_var_entry),
	IMG("IPCNS_SHM", 0x46283044, ipc_shm_entry,
	    .after_record = { .fields = { "size" }, .unit = 1, .align = 4, .unless = "in_pagemaps" }),
	IMG("IPCNS_MSG", 0x55453737, ipc_msg_entry, .inner = &ipc_msg__descriptor,
	    .inner_count = "qnum", .after_inner = { .fields = { "msize" }, .unit = 1, .align = 8 }),
	IMG("IPCNS_SEM", 0x59573019, ipc_sem_entry, .after_record = { .fields = { "nsems" }, .unit = 2, .align = 8 }),
	IMG("USERNS", 0x55474906, userns_entry),
	IMG("TIMENS", 0x43114433, timens_entry),
	IMG("PIDNS", 0x61157326, pidns_entry),
	IMG("MNTS", 0x55563928, mnt_entry),
	IMG("NETDEV", 0x57373951, net_device_entry),
	IMG("NETNS", 0x55933752, netns_entry),
	IMG("AUTOFS", 0x49353943, autofs_entry),
	IMG("BINFMT_MISC", 0x67343323, binfmt_misc_entry),
	IMG("CPUINFO", 0x61404013, cpuinfo_entry),
	IMG("STATS", 0x57093306, stats_entry),
	IMG("IRMAP_CACHE", 0x57004059, irmap_cache_entry),

	/* of older sets */
	IMG("REG_FILES", 0x50363636, reg_file_entry),
	IMG("EXT_FILES", 0x59255641, ext_file_entry),
	IMG("NS_FILES", 0x61394011, ns_file_entry),
	IMG("EVENTFD_FILE", 0x44523722, eventfd_file_entry),
	IMG("EVENTPOLL_FILE", 0x45023858, eventpoll_file_entry),
	IMG("EVENTPOLL_TFD", 0x44433746, eventpoll_tfd_entry),
	IMG("SIGNALFD", 0x57323820, signalfd_entry),
	IMG("TIMERFD", 0x50493712, timerfd_entry),
	IMG("INOTIFY_FILE", 0x48424431, inotify_file_entry),
	IMG("INOTIFY_WD", 0x54562009, inotify_wd_entry),
	IMG("FANOTIFY_FILE", 0x55096122, fanotify_file_entry),
	IMG("FANOTIFY_MARK", 0x56506035, fanotify_mark_entry),
	IMG("PIPES", 0x56513555, pipe_entry),
	IMG("FIFO", 0x58364939, fifo_entry),
	IMG("UNIXSK", 0x54373943, unix_sk_entry),
	IMG("INETSK", 0x56443851, inet_sk_entry),
	IMG("PACKETSK", 0x60454618, packet_sock_entry),
	IMG("NETLINK_SK", 0x58005614, netlink_sk_entry),
	IMG("TTY_FILES", 0x59433025, tty_file_entry),
	IMG("TUNFILE", 0x57143751, tunfile_entry),
	IMG("PIDFD", 0x54435556, pidfd_entry),
	IMG("VMAS", 0x54123737, vma_entry),
	IMG("SIGACT", 0x55344201, sa_entry),
	IMG("ITIMERS", 0x57464056, itimer_entry),
	IMG("POSIX_TIMERS", 0x52603957, posix_timer_entry),
	IMG("CREDS", 0x54023547, creds_entry),
	IMG("RLIMIT", 0x57113925, rlimit_entry),
	IMG("SIGNAL", 0x59255647, siginfo_entry),
	/* without any head */
	RAW("PAGES", "pages-"),
	RAW("IFADDR", "ifaddr-"),
	RAW("ROUTE", "route-"),
	RAW("ROUTE6", "route6-"),
	RAW("RULE", "rule-"),
	RAW("IPTABLES", "iptables-"),
	RAW("IP6TABLES", "ip6tables-"),
	RAW("NFTABLES", "nftables-"),
	RAW("NETNF_CT", "netns-ct-"),
	RAW("NETNF_EXP", "netns-exp-"),
	RAW("TMPFS_DEV", "tmpfs-"),
	{ 0 },
};
/* clang-format on */

const struct image_content *image_content_by_magic(uint32_t magic)
{
	const struct image_content *c;

	for (c = image_contents; c->name; c++)
		if (magic && c->magic == magic)
			return c;
	return NULL;
}

const struct image_content *image_content_by_name(const char *file)
{
	const struct image_content *c;
	const char *slash = strrchr(file, '/');

	file = slash ? slash + 1 : file;
	for (c = image_contents; c->name; c++)
		if (c->file && strncmp(file, c->file, strlen(c->file)) == 0)
			return c;
	return NULL;
}
