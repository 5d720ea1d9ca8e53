// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Settings below /proc/sys. What such a file shows follows the namespaces of the process that opens
 * it, whichever procfs it is in.
 */
#include "engine/ns/ns-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

static int sysctl_open(const char *path, int flags)
{
	char full[160];
	int fd;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	fd = open(full, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int ns_sysctl_read(const char *path, char *buf, size_t size)
{
	cleanup_fd int fd = sysctl_open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, buf, size);
	if (n < 0)
		return -errno;
	if ((size_t)n == size)
		return -ENOSPC;
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	buf[n] = '\0';
	return 0;
}

int ns_sysctl_set(const char *path, const char *value, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char now[256];
	size_t len = strlen(value);

	/*
	 * Most settings of a new namespace are right from the start. Leaving them alone saves a
	 * hundred writes, and works where the kernel does not let root of a user namespace write
	 * them.
	 */
	if (ns_sysctl_read(path, now, sizeof(now)) == 0 && strcmp(now, value) == 0)
		return 0;
	fd = sysctl_open(path, O_WRONLY);
	if (fd < 0)
		return err_sys(err, fd, "opening '/proc/sys/%s' to set it to '%s'", path, value);
	/* One write: procfs takes no value in pieces. An empty value is a write of a line end. */
	if (write(fd, len ? value : "\n", len ? len : 1) < 0)
		return err_sys(err, -errno, "setting '/proc/sys/%s' to '%s'", path, value);
	return 0;
}
