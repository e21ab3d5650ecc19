/* SPDX-License-Identifier: MIT */
/* What is done to a tap's interface, once it is there, by its name. */
#include "host/tap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_HOST_IP "192.168.33.1" /* kvmtool's */

extern char **environ;

/* Its stdout is ours, which is the guest's console: what it says goes to stderr. */
int tap_run_script(const char *script, const char *name)
{
	char *argv[] = { (char *)script, (char *)name, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int rc, status = -1;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	posix_spawnattr_init(&attr);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &defaults);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn(&pid, script, &actions, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	if (rc)
		return -rc;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* How posix_spawn() says that there is no such program where it can't tell. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return status ? -ECANCELED : 0;
}

static int interface_ioctl(const char *name, unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc;

	if (fd < 0)
		return -errno;
	snprintf(ifr->ifr_name, IFNAMSIZ, "%s", name);
	rc = ioctl(fd, request, ifr) ? -errno : 0;
	close(fd);
	return rc;
}

static int set_mtu(const char *name, unsigned int mtu)
{
	struct ifreq ifr = { .ifr_mtu = (int)mtu };

	return mtu ? interface_ioctl(name, SIOCSIFMTU, &ifr) : 0;
}

static int set_address(const char *name, unsigned long request, const char *address)
{
	struct ifreq ifr = { 0 };
	struct sockaddr_in sin = { .sin_family = AF_INET };

	if (inet_pton(AF_INET, address, &sin.sin_addr) != 1)
		return -EINVAL;
	memcpy(&ifr.ifr_addr, &sin, sizeof(sin));
	return interface_ioctl(name, request, &ifr);
}

int tap_flags(const char *name)
{
	struct ifreq ifr = { 0 };
	int rc = interface_ioctl(name, SIOCGIFFLAGS, &ifr);

	return rc ? rc : (unsigned short)ifr.ifr_flags;
}

int tap_mtu(const char *name)
{
	struct ifreq ifr = { 0 };
	int rc = interface_ioctl(name, SIOCGIFMTU, &ifr);

	return rc ? rc : ifr.ifr_mtu;
}

/*
 * Linux 6.2. To try is to set it, which is not for who takes a tap over; and he must come to the same as who tried, or
 * the guest is refused. (So a kernel that has it by a backport has it in vain.)
 */
bool tap_knows_uso(void)
{
	struct utsname host;
	char *minor;
	unsigned long major = uname(&host) ? 0 : strtoul(host.release, &minor, 10);

	return major > 6 || (major == 6 && *minor == '.' && strtoul(minor + 1, NULL, 10) >= 2);
}

static int bring_up(const char *name)
{
	int flags = tap_flags(name);
	struct ifreq ifr = { .ifr_flags = (short)(flags | IFF_UP | IFF_RUNNING) };

	return flags < 0 ? flags : interface_ioctl(name, SIOCSIFFLAGS, &ifr);
}

int tap_configure(const char *name, const struct net_config *c, struct err *err)
{
	int rc = set_mtu(name, c->mtu);

	if (rc)
		return err_set(err, -rc, "tap %s: cannot set an MTU of %u: %s", name, c->mtu,
			       strerror(-rc));
	if (!c->script) {
		const char *ip = c->host_ip ? c->host_ip : DEFAULT_HOST_IP;

		rc = set_address(name, SIOCSIFADDR, ip);
		if (!rc)
			rc = set_address(name, SIOCSIFNETMASK, "255.255.255.0");
		if (rc)
			return err_set(err, -rc, "tap %s: cannot give it the address %s: %s", name,
				       ip, strerror(-rc));
	}
	rc = bring_up(name);
	if (rc)
		return err_set(err, -rc, "tap %s: cannot bring it up: %s", name, strerror(-rc));
	return 0;
}
