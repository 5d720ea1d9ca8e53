/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Parts of the file workloads that `full` uses too. See files.c. */
#pragma once

#include "tests/workloads/workload.h"

int deleted_file_setup(void);
int deleted_file_verify(void);

int file_offsets_setup(void);
int file_offsets_verify(void);

/* ghosts.c */
int ghosts_setup(void);
int ghosts_verify(void);

/* procfs.c */
int procfs_setup(void);
int procfs_verify(void);

/* locks.c */
int leases_setup(void);
int leases_verify(void);
int lock_queue_setup(void);
int lock_queue_verify(void);

/* Duplicated descriptors that share an offset, one of them also with a child. */
int dup_fds_setup(void);
int dup_fds_verify(void);
