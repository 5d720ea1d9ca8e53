/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every operation of the engine begins and ends with: log, directories, notify stages,
 * options. */
#pragma once

#include <sys/resource.h>

#include "engine/engine.h"

/*
 * An operation holds all open files of a tree at once: raises the limit of open files as far as the
 * kernel lets us, until op_limit_files_back().
 */
void op_raise_file_limit(struct rlimit *ret_was);
void op_limit_files_back(const struct rlimit *was);

/* Opens images_dir and work_dir. for_dump: the first must be writable. 0 or negative. */
int op_open_dirs(const struct ckpt_options *opts, bool for_dump, int *images_fd, int *work_fd,
		 struct err *err);

/* Closes a descriptor if it is open. */
void op_close(int *fd);

/* Opens the log where the options say; closed by op_close_log(). */
int op_open_log(const struct ckpt_options *opts, struct log *log, struct err *err);
void op_close_log(const struct ckpt_options *opts, struct log *log);

/* Calls the client's notify function, if there is one. */
int op_notify(const struct ckpt_options *opts, const char *stage, pid_t pid, struct err *err);

/* The same where it is too late to fail: a refusal is logged. */
void op_notify_late(const struct ckpt_options *opts, const struct log *log, const char *stage,
		    pid_t pid);

/* The same with a descriptor (borrowed). */
int op_notify_fd(const struct ckpt_options *opts, const char *stage, int fd, struct err *err);

/* Refuses, all at once, the options whose part of the engine does not exist yet. */
int op_refuse_options(const struct ckpt_options *opts, bool for_dump, struct err *err);
