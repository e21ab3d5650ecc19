/* SPDX-License-Identifier: MIT */
/* Which file is meant by the command's first word. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/init/exec.h"
#include "guest/init/init.h"

static const char *path_of(char *const env[])
{
	for (; *env; env++) {
		if (!strncmp(*env, "PATH=", 5))
			return *env + 5;
	}
	return EXEC_PATH;
}

/* A program, which this processor does not know. What can't be read is not known to be one. */
static bool is_program(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char begin[4];
	bool is;

	if (fd < 0)
		return false;
	is = read(fd, begin, sizeof(begin)) == sizeof(begin) && !memcmp(begin, "\177ELF", 4);
	close(fd);
	return is;
}

/* What has no #! and is no program is the shell's. */
static int run_script(const char *path, char *const argv[], char *const env[])
{
	size_t n = 0;
	char **words;
	int rc;

	if (is_program(path))
		return ENOEXEC;
	while (argv[n])
		n++;
	words = calloc(n + 3, sizeof(*words));
	if (!words)
		return ENOMEM;
	words[0] = "/bin/sh";
	words[1] = (char *)path;
	memcpy(words + 2, argv + (n > 0), n * sizeof(*words));
	execve(words[0], words, env);
	rc = errno == ENOENT ? ELIBBAD : errno;
	free(words);
	return rc;
}

/* Never returns 0. */
static int try_file(const char *path, char *const argv[], char *const env[])
{
	struct stat st;

	execve(path, argv, env);
	if (errno == ENOEXEC)
		return run_script(path, argv, env);
	if (errno == EACCES && !stat(path, &st) && S_ISDIR(st.st_mode))
		return EISDIR;
	/* It is there, and its interpreter is not. */
	if (errno == ENOENT && !stat(path, &st))
		return ELIBBAD;
	return errno;
}

/* What is there and can't be run doesn't end the search, but is what it ends with. */
int path_exec(char *const argv[], char *const env[])
{
	const char *path = path_of(env), *end;
	char file[PATH_MAX];
	int worst = ENOENT;

	if (!*argv[0])
		return ENOENT;
	if (strchr(argv[0], '/'))
		return try_file(argv[0], argv, env);
	for (;; path = end + 1) {
		int len, rc = ENAMETOOLONG;

		end = strchrnul(path, ':');
		len = snprintf(file, sizeof(file), "%.*s%s%s", (int)(end - path), path,
			       end > path ? "/" : "", argv[0]);
		if (len < (int)sizeof(file))
			rc = try_file(file, argv, env);
		if (rc != ENOENT && rc != ENOTDIR && rc != EISDIR)
			worst = rc;
		if (!*end)
			return worst;
	}
}
