# Runs a program under limits. Its last argument is the program, those before it are the limits. It reports on standard
# output that the program begins and, later, that its last line was executed. The program's own output goes to standard
# error.
import os
import resource
import sys
import types

cpu, memory, processes, file = map(int, sys.argv[1:5])
source = sys.argv[5]
del sys.argv[1:]
# Standard input was the filter of system calls.
null = os.open(os.devnull, os.O_RDONLY)
os.dup2(null, 0)
sys.stdin = open(0)
# Files that this process was started with, whosever they are.
os.closerange(3, 1 << 16)
report = os.dup(1)
os.dup2(2, 1)
# The soft limit on CPU time ends a program by a signal that it can ignore, the hard one a second later.
resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
for name, limit in [("AS", memory), ("NPROC", processes), ("FSIZE", file), ("NOFILE", 32), ("CORE", 0)]:
    resource.setrlimit(getattr(resource, "RLIMIT_" + name), (limit, limit))
os.write(report, b"begins\n")
# Not __main__: what stands under `if __name__ == "__main__"` is no part of an answer.
answer = types.ModuleType("answer")
sys.modules["answer"] = answer
exec(compile(source, "answer.py", "exec"), answer.__dict__)
os.write(report, b"completed\n")
# What the program left running does not decide about it.
os._exit(0)
