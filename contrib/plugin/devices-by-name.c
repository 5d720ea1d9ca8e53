/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An example of a plugin: character devices without state, opened again by their names.
 *
 *	cc -shared -fPIC -I/usr/local/include/criu -o devices-by-name.so devices-by-name.c
 *	DEVICES_BY_NAME=/dev/loop-control ckpt dump --libdir . -t PID -D images
 *	ckpt restore --libdir . -D images
 *
 * Nobody but the user knows for which devices this is true, so they are named in the environment,
 *with colons between them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "criu-plugin.h"

static bool is_named(const char *path)
{
	const char *list = getenv("DEVICES_BY_NAME");
	size_t len = strlen(path);

	while (list && *list) {
		size_t n = strcspn(list, ":");

		if (n == len && memcmp(list, path, n) == 0)
			return true;
		list += n + (list[n] == ':');
	}
	return false;
}

/* What the plugin keeps of a device is a file of its own beside the images: flags and path. */
static FILE *open_own(int id, const char *mode)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "devices-by-name-%x.txt", (unsigned int)id);
	fd = openat(criu_get_image_dir(), name,
		    *mode == 'w' ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC,
		    0600);
	return fd < 0 ? NULL : fdopen(fd, mode);
}

static int dump_file(int fd, int id)
{
	char self[32], path[PATH_MAX];
	struct stat st;
	ssize_t n;
	FILE *f;

	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
		return -ENOTSUP;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	n = readlink(self, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	if (!is_named(path))
		return -ENOTSUP;
	f = open_own(id, "w");
	if (!f)
		return -errno;
	fprintf(f, "%d %s\n", fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK | O_APPEND), path);
	if (fclose(f) != 0)
		return -errno;
	print_on_level(3, "devices-by-name: file %x is '%s'\n", (unsigned int)id, path);
	return 0;
}

static int restore_file(int id, bool *retry_needed)
{
	char path[PATH_MAX];
	FILE *f = open_own(id, "r");
	int flags, n, fd;

	if (!f)
		return -ENOTSUP;
	n = fscanf(f, "%d %4095[^\n]", &flags, path);
	fclose(f);
	if (n != 2)
		return -EBADMSG;
	if (retry_needed)
		*retry_needed = false;
	fd = open(path, flags | O_CLOEXEC | O_NOCTTY);
	return fd < 0 ? -errno : fd;
}

CR_PLUGIN_REGISTER_DUMMY("devices-by-name")
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__DUMP_EXT_FILE, dump_file)
CR_PLUGIN_REGISTER_HOOK(CR_PLUGIN_HOOK__RESTORE_EXT_FILE, restore_file)
