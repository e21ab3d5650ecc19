/* SPDX-License-Identifier: MIT */
/* host/uds: who may listen where, and what is left behind. */
#include "host/uds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/tap.h"

static bool is_there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static void test_listen(const char *path)
{
	struct uds_listener l, other;
	struct err err = { "" };
	struct stat st;
	int a, b;
	char c = 0;

	umask(0);
	ok(!uds_listen(&l, path, &err), "somebody listens %s", err.text);
	ok(!lstat(path, &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0600,
	   "for this user alone, whatever the umask");
	ok(uds_accept(&l) == -EAGAIN, "nobody has come");
	a = uds_connect(path);
	b = uds_accept(&l);
	ok(a >= 0 && b >= 0 && write(a, "x", 1) == 1 && read(b, &c, 1) == 1 && c == 'x',
	   "somebody comes, and speaks");
	ok(fcntl(b, F_GETFL) & O_NONBLOCK && fcntl(b, F_GETFD) & FD_CLOEXEC &&
		   fcntl(a, F_GETFL) & O_NONBLOCK && fcntl(a, F_GETFD) & FD_CLOEXEC,
	   "none of them blocks, or is inherited");
	close(a);
	close(b);
	ok(uds_listen(&other, path, &err) == -EADDRINUSE && strstr(err.text, "listens there"),
	   "nobody else can listen there: %s", err.text);
	ok((a = uds_connect(path)) >= 0, "which has not disturbed it");
	close(a);
	uds_close(&l);
	ok(!is_there(path), "nothing is left");
}

/* Killed: nobody has tidied up. */
static void test_stale(const char *path)
{
	struct uds_listener l, later;
	struct err err = { "" };
	int fd;
	pid_t child = fork();

	if (!child)
		_exit(uds_listen(&l, path, &err) ? 1 : 0);
	waitpid(child, NULL, 0);
	ok(is_there(path) && uds_connect(path) == -ECONNREFUSED, "an old socket is there");
	ok(!uds_listen(&l, path, &err), "it is replaced");
	ok((fd = uds_connect(path)) >= 0, "and works");
	close(fd);
	unlink(path);
	ok(!uds_listen(&later, path, &err), "another's, where it was taken away");
	uds_close(&l);
	ok(is_there(path), "is not removed by the first one");
	uds_close(&later);
	ok(!is_there(path), "but by its own");
}

static void test_refusals(const char *path)
{
	char long_path[UDS_PATH_MAX + 2];
	struct uds_listener l;
	struct err err = { "" };
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	close(fd);
	ok(uds_listen(&l, path, &err) == -EEXIST && strstr(err.text, "no socket"),
	   "a file is not replaced: %s", err.text);
	ok(is_there(path), "and is still there");
	unlink(path);
	ok(!symlink("/nonexistent", path) && uds_listen(&l, path, &err) == -EEXIST,
	   "nor is a link: %s", err.text);
	unlink(path);
	ok(uds_listen(&l, "/nonexistent/x", &err) == -ENOENT, "no directory: %s", err.text);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[UDS_PATH_MAX + 1] = '\0';
	ok(uds_listen(&l, long_path, &err) == -ENAMETOOLONG &&
		   uds_connect(long_path) == -ENAMETOOLONG,
	   "too long: %s", err.text);
	ok(uds_connect(path) == -ENOENT, "nobody there");
}

int main(void)
{
	char dir[] = "/tmp/kindling-uds-XXXXXX", path[64];

	if (!mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/socket", dir);
	test_listen(path);
	test_stale(path);
	test_refusals(path);
	ok(!rmdir(dir), "the directory is as empty as before");
	return done_testing();
}
