/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of ckpt. Each returns an exit status, or a negative errno with err filled. */
#pragma once

#include "runtime/options.h"

int cmd_dump(struct cli *cli, struct err *err);
int cmd_restore(struct cli *cli, struct err *err);
int cmd_check(struct cli *cli, struct err *err);
int cmd_show(struct cli *cli, struct err *err);
int cmd_swrk(struct cli *cli, struct err *err);
int cmd_service(struct cli *cli, struct err *err);

/* Executes opts->exec_cmd in place of this process. Returns only on failure, negative. */
int become_command(const struct ckpt_options *opts, struct err *err);
int cmd_cpuinfo(struct cli *cli, struct err *err);
