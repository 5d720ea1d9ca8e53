/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loading plugins of every sort, and the order in which they are asked. argv: their shared objects.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/plugin/criu-plugin.h"
#include "engine/plugin/plugin.h"
#include "tests/lib/test.h"

static const char *objects;
static char dir[] = "/tmp/plugins-XXXXXX";
static struct log quiet = { .fd = -1 };

/* The folder has these plugins of the build, and no others. */
static void fill(const char *const *names)
{
	char command[512];

	snprintf(command, sizeof(command), "rm -rf %s && mkdir %s", dir, dir);
	check_int(system(command), 0);
	for (; *names; names++) {
		snprintf(command, sizeof(command), "cp %s/%s.so %s/", objects, *names, dir);
		check_int(system(command), 0);
	}
}

#define FILL(...) fill((const char *const[]){ __VA_ARGS__, NULL })

static int load(enum plugin_stage stage, struct plugins **p, struct err *err)
{
	const struct plugins_args args = {
		.libdir = dir, .stage = stage, .images_fd = 7, .log = &quiet
	};

	return plugins_load(&args, p, err);
}

static void refused(const char *name, const char *want)
{
	struct plugins *p = NULL;
	struct err err = ERR_INIT;

	fill((const char *const[]){ name, NULL });
	check(load(PLUGIN_STAGE_DUMP, &p, &err) < 0);
	if (!strstr(err.text, want))
		test_fail(__FILE__, __LINE__, "%s: '%s' is not in '%s'", name, want, err.text);
	plugins_unload(p, -1);
}

TEST(what_is_no_plugin_is_refused)
{
	refused("too-new", "0.2.0 is the newest");
	refused("too-many-hooks", "has 16 hooks");
	refused("no-name", "has no name");
	refused("missing-symbol", "not_in_the_engine");
}

TEST(a_plugin_that_cannot_start_ends_it)
{
	setenv("PLUGIN_FAILS", "init", 1);
	refused("new-style", "plugin 'every-hook' cannot start");
	refused("old-style", "plugin 'old-style.so' cannot start");
	unsetenv("PLUGIN_FAILS");
}

TEST(no_folder_and_no_plugins)
{
	const struct plugins_args args = { .libdir = "/nowhere", .images_fd = -1, .log = &quiet };
	struct plugins *p = NULL;
	struct err err = ERR_INIT;

	check(plugins_load(&args, &p, &err) < 0);
	check(strstr(err.text, "'/nowhere'") != NULL);
	plugins_unload(p, -1);
	check_int(plugins_dump_ext_file(NULL, 0, 1), -ENOTSUP);
	check(!plugins_any(NULL));
	check_int(plugins_used(NULL).n, 0);
	plugins_unload(NULL, 0);
	check_int(criu_get_image_dir(), -1);
	check_int(add_inventory_plugin("x"), -1);
	check(!check_and_remove_inventory_plugin("x", 1));
	print_on_level(0, "nobody hears this");
}

/* The first that takes an object has it; the others are not asked. An older plugin has fewer hooks.
 */
TEST(plugins_are_asked_in_the_order_of_their_names)
{
	struct plugins *p = NULL;
	struct err err = ERR_INIT;

	FILL("new-style", "few-hooks");
	check_int(load(PLUGIN_STAGE_DUMP, &p, &err), 0);
	check(plugins_any(p));
	check_int(criu_get_image_dir(), 7);
	check_int(plugins_dump_unix_sk(p, 0, 1), 0); /* few-hooks takes those */
	check_int(plugins_used(p).n, 1);
	check_str(plugins_used(p).v[0], "few-hooks");
	check_int(plugins_dump_ext_file(p, 0, 1), -ENOTSUP);
	setenv("PLUGIN_TAKES", "PAUSE_DEVICES", 1);
	check_int(plugins_pause_devices(p, 1), 0);
	check_int(plugins_used(p).n, 1); /* nobody has to ask for that again */
	setenv("PLUGIN_FAILS", "PAUSE_DEVICES", 1);
	check_int(plugins_pause_devices(p, 1), -EIO);
	check_int(plugin_optional(&err, -EIO, "PAUSE_DEVICES"), -EIO);
	check(strstr(err.text, "PAUSE_DEVICES") != NULL);
	check_int(plugin_optional(&err, -ENOTSUP, "PAUSE_DEVICES"), 0);
	check_int(plugin_optional(&err, 3, "PAUSE_DEVICES"), 0);
	unsetenv("PLUGIN_TAKES");
	unsetenv("PLUGIN_FAILS");
	plugins_unload(p, 0);
	check_int(criu_get_image_dir(), -1);
}

TEST(what_the_images_need_must_be_there)
{
	static const char *const asked[] = { "every-hook", "gpu" }, *const used[] = { "gpu",
										      "net" };
	struct plugins_args args = { .libdir = dir,
				     .stage = PLUGIN_STAGE_RESTORE,
				     .images_fd = 7,
				     .log = &quiet,
				     .asked = { asked, 2 },
				     .used = { used, 2 } };
	struct plugins *p = NULL;
	struct err err = ERR_INIT;

	FILL("new-style");
	check(plugins_load(&args, &p, &err) < 0);
	check(strstr(err.text, "not there: 'gpu', 'net'") != NULL);
	plugins_unload(p, -1);
	args.asked.n = 1;
	args.used.n = 0;
	check_int(plugins_load(&args, &p, &err), 0);
	plugins_unload(p, 0);
	/* images that are too old to tell: every plugin may be needed */
	args.any = true;
	args.asked.n = 0;
	check_int(plugins_load(&args, &p, &err), 0);
	check(check_and_remove_inventory_plugin("anything", 8));
	plugins_unload(p, 0);
}

TEST(names_are_noted_once)
{
	struct plugins *p = NULL;
	struct err err = ERR_INIT;

	FILL("few-hooks");
	check_int(load(PLUGIN_STAGE_DUMP, &p, &err), 0);
	check_int(add_inventory_plugin("few-hooks"), 0);
	check_int(plugins_asked(p).n, 1);
	check_int(plugins_dump_unix_sk(p, 0, 1), 0);
	check_int(plugins_dump_unix_sk(p, 0, 2), 0);
	check_int(plugins_used(p).n, 1);
	plugins_unload(p, 0);
}

/* The ABI: numbers and offsets that plugins were compiled with. */
TEST(the_interface_is_that_of_0_2_0)
{
	check_int(CRIU_PLUGIN_VERSION, 0x200);
	check_int(CRIU_PLUGIN_VERSION_OLD, 0x100);
	check_int(CR_PLUGIN_HOOK__MAX, 15);
	check_int(CR_PLUGIN_STAGE__RESTORE, 2);
	check_int(PLUGIN_STAGE_RESTORE, CR_PLUGIN_STAGE__RESTORE);
	check_int(offsetof(cr_plugin_desc_t, init), sizeof(void *));
	check_int(offsetof(cr_plugin_desc_t, version), 3 * sizeof(void *));
	check_int(offsetof(cr_plugin_desc_t, max_hooks), 3 * sizeof(void *) + 4);
	check_int(offsetof(cr_plugin_desc_t, hooks), 3 * sizeof(void *) + 8);
	check_int(sizeof(cr_plugin_desc_t), 18 * sizeof(void *) + 8);
}

struct test_state test_state;

int main(int argc, char **argv)
{
	char command[64];
	int r;

	if (argc < 2 || !mkdtemp(dir))
		return EXIT_FAILURE;
	objects = argv[1];
	r = test_main(argc - 1, argv + 1);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command) == 0 ? r : EXIT_FAILURE;
}
