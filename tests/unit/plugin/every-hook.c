/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A plugin with every hook, which notes each call in $PLUGIN_LOG. $PLUGIN_TAKES has the names of
 * the hooks that take objects; $PLUGIN_FAILS names one that fails. Built with -DOLD_STYLE it is a
 * plugin of version 0.1.0.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/plugin/criu-plugin.h"

#define NAME "every-hook"

/* One write a line: builders and engine note in the same file. Gives the number of lines before. */
__attribute__((format(printf, 1, 2))) static void note(const char *fmt, ...)
{
	const char *path = getenv("PLUGIN_LOG");
	int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	if (fd < 0 || write(fd, line, strlen(line)) < 0)
		return;
	close(fd);
}

static bool listed(const char *variable, const char *hook)
{
	const char *list = getenv(variable), *at = list ? strstr(list, hook) : NULL;
	size_t n = strlen(hook);

	return at && (at == list || at[-1] == ' ') && (!at[n] || at[n] == ' ');
}

/* What a hook with nothing to do says. */
static int verdict(const char *hook)
{
	if (listed("PLUGIN_FAILS", hook))
		return -EIO;
	return listed("PLUGIN_TAKES", hook) ? 0 : -ENOTSUP;
}

static int save(const char *what, int id, const char *text)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "every-hook-%s-%x", what, (unsigned int)id);
	fd = openat(criu_get_image_dir(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	close(fd);
	return 0;
}

static int saved(const char *what, int id, char *text, size_t size)
{
	char name[64];
	ssize_t n;
	int fd;

	snprintf(name, sizeof(name), "every-hook-%s-%x", what, (unsigned int)id);
	fd = openat(criu_get_image_dir(), name, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, size - 1);
	if (n < 0)
		return -ENOTSUP;
	text[n] = '\0';
	close(fd);
	return 0;
}

static int dump_unix_sk(int fd, int id)
{
	struct sockaddr_un addr = { 0 };
	socklen_t len = sizeof(addr);

	getpeername(fd, (struct sockaddr *)&addr, &len);
	note("DUMP_UNIX_SK %s", addr.sun_path);
	return verdict("DUMP_UNIX_SK") ?: save("unix", id, addr.sun_path);
}

static int restore_unix_sk(int id)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sk = socket(AF_UNIX, SOCK_STREAM, 0);

	note("RESTORE_UNIX_SK");
	if (listed("PLUGIN_FAILS", "RESTORE_UNIX_SK"))
		return -EIO;
	if (saved("unix", id, addr.sun_path, sizeof(addr.sun_path)) < 0)
		return -ENOTSUP;
	return connect(sk, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : sk;
}

static int dump_ext_file(int fd, int id)
{
	char self[32], path[256];
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	note("DUMP_EXT_FILE %s", path);
	return verdict("DUMP_EXT_FILE") ?: save("file", id, path);
}

static int restore_ext_file(int id, bool *retry_needed)
{
	static int calls;
	char path[256];

	note("RESTORE_EXT_FILE");
	if (listed("PLUGIN_FAILS", "RESTORE_EXT_FILE"))
		return -EIO;
	if (saved("file", id, path, sizeof(path)) < 0)
		return -ENOTSUP;
	if (retry_needed)
		*retry_needed = getenv("PLUGIN_RETRIES") &&
				calls++ < atoi(getenv("PLUGIN_RETRIES"));
	return retry_needed && *retry_needed ? 0 : open(path, O_RDWR | O_CLOEXEC);
}

static int dump_ext_mount(char *mountpoint, int id)
{
	note("DUMP_EXT_MOUNT %s", mountpoint);
	return verdict("DUMP_EXT_MOUNT") ?: save("mount", id, mountpoint);
}

static int restore_ext_mount(int id, char *mountpoint, char *old_root, int *is_file)
{
	char text[256], source[512];

	note("RESTORE_EXT_MOUNT %s", old_root);
	if (listed("PLUGIN_FAILS", "RESTORE_EXT_MOUNT"))
		return -EIO;
	if (saved("mount", id, text, sizeof(text)) < 0)
		return -ENOTSUP;
	snprintf(source, sizeof(source), "%s/%s", old_root, getenv("PLUGIN_SOURCE"));
	if (is_file)
		*is_file = 0;
	if (mkdir(mountpoint, 0700) < 0 && errno != EEXIST)
		return -errno;
	return mount(source, mountpoint, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

static int dump_ext_link(int index, int type, char *kind)
{
	note("DUMP_EXT_LINK %d %s", type, kind);
	return verdict("DUMP_EXT_LINK");
}

static int handle_device_vma(int fd, const struct stat *st)
{
	note("HANDLE_DEVICE_VMA %s", S_ISBLK(st->st_mode) ? "block" : "other");
	return verdict("HANDLE_DEVICE_VMA");
}

/* The mapping comes back one page further on, through a descriptor of ours. */
static int update_vma_map(const char *path, const uint64_t addr, const uint64_t old_pgoff,
			  uint64_t *new_pgoff, int *plugin_fd)
{
	note("UPDATE_VMA_MAP %s", path);
	if (listed("PLUGIN_FAILS", "UPDATE_VMA_MAP"))
		return -EIO;
	if (!getenv("PLUGIN_MOVES"))
		return -ENOTSUP;
	*new_pgoff = old_pgoff + 4096;
	*plugin_fd = open(path, O_RDWR | O_CLOEXEC);
	return *plugin_fd < 0 ? -errno : 1;
}

#define PID_HOOK(function, hook)       \
	static int function(int pid)   \
	{                              \
		note(hook " %d", pid); \
		return verdict(hook);  \
	}

/* clang-format off */
PID_HOOK(resume_devices_late, "RESUME_DEVICES_LATE")
PID_HOOK(pause_devices, "PAUSE_DEVICES")
PID_HOOK(checkpoint_devices, "CHECKPOINT_DEVICES")
PID_HOOK(dump_devices_late, "DUMP_DEVICES_LATE")
/* clang-format on */

static int post_forking(void)
{
	note("POST_FORKING");
	return verdict("POST_FORKING");
}

static int restore_init(void)
{
	note("RESTORE_INIT");
	return verdict("RESTORE_INIT");
}

#ifdef OLD_STYLE

int cr_plugin_init(void);
void cr_plugin_fini(void);

int cr_plugin_init(void)
{
	note("init old");
	return listed("PLUGIN_FAILS", "init") ? -1 : 0;
}

void cr_plugin_fini(void)
{
	note("exit old");
}

#define OLD(name, function) extern __typeof__(function) name __attribute__((alias(#function)));
#define OLD_HOOK(name) OLD(cr_plugin_##name, name)

/* clang-format off */
OLD_HOOK(dump_unix_sk)
OLD_HOOK(restore_unix_sk)
OLD(cr_plugin_dump_file, dump_ext_file)
OLD(cr_plugin_restore_file, restore_ext_file)
OLD_HOOK(dump_ext_mount)
OLD_HOOK(restore_ext_mount)
OLD_HOOK(dump_ext_link)
OLD_HOOK(handle_device_vma)
OLD_HOOK(update_vma_map)
OLD_HOOK(resume_devices_late)
OLD_HOOK(pause_devices)
OLD_HOOK(checkpoint_devices)
OLD_HOOK(post_forking)
OLD_HOOK(restore_init)
OLD_HOOK(dump_devices_late)
/* clang-format on */

#else

static int init(int stage)
{
	print_on_level(3, "every-hook: starts (%d)\n", stage);
	note("init %d", stage);
	if (listed("PLUGIN_FAILS", "init"))
		return -1;
	if (stage == CR_PLUGIN_STAGE__DUMP && getenv("PLUGIN_ASKS"))
		return add_inventory_plugin(NAME);
	if (stage == CR_PLUGIN_STAGE__RESTORE)
		note("needed %d", check_and_remove_inventory_plugin(NAME, strlen(NAME)));
	return 0;
}

static void finish(int stage, int ret)
{
	note("exit %d %s", stage, ret ? "failed" : "done");
}

/* clang-format off */
CR_PLUGIN_REGISTER(NAME, init, finish)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_UNIX_SK, dump_unix_sk)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_UNIX_SK, restore_unix_sk)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_FILE, dump_ext_file)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_EXT_FILE, restore_ext_file)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_MOUNT, dump_ext_mount)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_EXT_MOUNT, restore_ext_mount)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_LINK, dump_ext_link)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__HANDLE_DEVICE_VMA, handle_device_vma)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__UPDATE_VMA_MAP, update_vma_map)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESUME_DEVICES_LATE, resume_devices_late)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__PAUSE_DEVICES, pause_devices)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__CHECKPOINT_DEVICES, checkpoint_devices)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__POST_FORKING, post_forking)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_INIT, restore_init)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_DEVICES_LATE, dump_devices_late)
/* clang-format on */

#endif
