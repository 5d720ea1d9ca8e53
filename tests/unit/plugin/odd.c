/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Plugins with something odd about them, one for each definition. */
#include <errno.h>
#include <stddef.h>

#include "engine/plugin/criu-plugin.h"

static int take(int fd, int id)
{
	return 0;
}

#if defined(TOO_NEW)
cr_plugin_desc_t CR_PLUGIN_DESC = { .name = "odd", .version = CRIU_PLUGIN_GEN_VERSION(0, 3, 0) };
#elif defined(TOO_MANY_HOOKS)
cr_plugin_desc_t CR_PLUGIN_DESC = { .name = "odd",
				    .version = CRIU_PLUGIN_VERSION,
				    .max_hooks = 16 };
#elif defined(NO_NAME)
cr_plugin_desc_t CR_PLUGIN_DESC = { .version = CRIU_PLUGIN_VERSION, .max_hooks = 15 };
#elif defined(MISSING_SYMBOL)
extern int not_in_the_engine(void);

static int start(int stage)
{
	return not_in_the_engine();
}

CR_PLUGIN_REGISTER("odd", start, NULL)
#else
/* The table of an older one ends earlier: what lies behind it must not be called. */
cr_plugin_desc_t CR_PLUGIN_DESC = {
	.name = "few-hooks",
	.version = CRIU_PLUGIN_VERSION_OLD + 1,
	.max_hooks = 2,
	.hooks = { [CR_PLUGIN_HOOK__DUMP_EXT_FILE] = (void *)1 },
};
#endif
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_UNIX_SK, take)
