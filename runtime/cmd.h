/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of ckpt. Each returns an exit status, or a negative errno with err filled. */
#pragma once

#include "runtime/options.h"

int cmd_dump(struct cli *cli, struct err *err);
int cmd_restore(struct cli *cli, struct err *err);
int cmd_check(struct cli *cli, struct err *err);
int cmd_show(struct cli *cli, struct err *err);
