/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of each subject file, in the order of --list. */
#pragma once

#include "tests/workloads/workload.h"

extern const struct workload basic_workloads[], full_workloads[], thread_workloads[],
	cpu_workloads[], memory_workloads[], mapping_workloads[], shared_workloads[],
	aio_workloads[], pipe_workloads[], file_workloads[], directory_workloads[],
	signal_workloads[], timer_workloads[], blocking_workloads[], process_workloads[],
	event_workloads[], tty_workloads[], ipc_workloads[], identity_workloads[], unix_workloads[],
	inet_workloads[], many_workloads[], unix_scm_workloads[], table_workloads[], vm_workloads[];
extern const struct workload inet_more_workloads[], net_workloads[], many_object_workloads[],
	restricted_workloads[];
extern const struct workload vdso_workloads[], leader_workloads[];
extern const struct workload peercred_workloads[], outside_workloads[];
extern const struct workload tty_more_workloads[], watch_workloads[], unread_workloads[],
	keyring_workloads[], mqueue_workloads[], odd_task_workloads[], tcp_reset_workloads[];
