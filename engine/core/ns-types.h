/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kinds of namespaces and the ids that images give them. */
#pragma once

#include <stdint.h>

enum ns_type { NS_PID, NS_NET, NS_IPC, NS_UTS, NS_MNT, NS_USER, NS_CGROUP, NS_TIME, NS_TYPE_COUNT };

/* Namespaces of one task: inode numbers of /proc/PID/ns/x (0: kernel lacks it) and image ids. */
struct ns_set {
	uint64_t ino[NS_TYPE_COUNT];
	uint32_t id[NS_TYPE_COUNT];
};

struct ns_type_info {
	const char *name; /* under /proc/PID/ns */
	uint64_t clone_flag;
};

extern const struct ns_type_info ns_types[NS_TYPE_COUNT];
