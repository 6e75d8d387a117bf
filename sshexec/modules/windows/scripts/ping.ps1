# Answers, so that its caller knows that PowerShell runs. In: nothing.
answer 'pong'
