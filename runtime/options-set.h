/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of options that are more than a word or a number. For options.c alone. */
#pragma once

#include "runtime/options.h"

typedef int option_set_fn(void *target, const struct opt *opt, const char *value, struct err *err);

option_set_fn set_pid, set_verbosity, set_close, set_ext_unix_sk, set_ext_mount_map, set_external,
	set_veth_pair, set_inherit_fd, set_join_ns, set_cgroup_root, set_manage_cgroups,
	set_network_lock, set_empty_ns, set_file_validation, set_list, set_status_fd, set_check_all,
	set_ms, set_cpu_cap;
