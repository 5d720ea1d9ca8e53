/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the option parser calls of the engine. */
#include "engine/engine.h"

#include <string.h>

void ckpt_options_init(struct ckpt_options *opts)
{
	memset(opts, 0, sizeof(*opts));
	opts->log_level = LOG_WARN;
}
