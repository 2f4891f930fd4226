#include "src/editor.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/base/buf.h"

int editor_open(const char *path, struct err *e)
{
	const char *editor = getenv("VISUAL");
	struct buf line = { 0 };
	int status = 0;

	if (!editor || !*editor)
		editor = getenv("EDITOR");
	if (!editor || !*editor)
		editor = access("/usr/bin/editor", X_OK) == 0 ? "/usr/bin/editor" : "vi";
	buf_printf(&line, "%s \"$1\"", editor);
	if (buf_failed(&line))
		return err_set(e, ERR_MEM, "no memory to start an editor");
	fflush(NULL);
	/* what is typed in the editor is the editor's */
	void (*on_int)(int) = signal(SIGINT, SIG_IGN), (*on_quit)(int) = signal(SIGQUIT, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGINT, SIG_DFL);
		signal(SIGQUIT, SIG_DFL);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/sh", "sh", "-c", buf_str(&line), "cadforge-edit", path, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	signal(SIGINT, on_int);
	signal(SIGQUIT, on_quit);
	buf_release(&line);
	if (pid < 0)
		return err_errno(e, ERR_IO, "starting %s", editor);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(e, ERR_LACKS, "the editor '%s' was not found: set VISUAL or EDITOR",
		               editor);
	if (WIFEXITED(status))
		return err_set(e, ERR_IO, "the editor '%s' ended with status %d", editor,
		               WEXITSTATUS(status));
	return err_set(e, ERR_IO, "the editor '%s' was ended by signal %d", editor,
	               WTERMSIG(status));
}
