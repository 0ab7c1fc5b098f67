"""How far a student's decision is from its teacher's, of each row."""

import torch
from torch import Tensor
from torch.nn import functional as F

LEAST = 1e-30  # the probability below which its logarithm is that of this one


def class_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² KL(p_T || q_T), float [B], of probabilities [B, K]: p of the teacher, q of the student (Hinton et al. 2015,
    arXiv:1503.02531). p_T is p at the temperature T, softmax(log p / T), and so is that of the logits it was made of.
    T² keeps the gradient's size as T grows."""
    teacher_logs = F.log_softmax(teacher.detach().clamp(min=LEAST).log() / temperature, dim=-1)
    student_logs = F.log_softmax(student.clamp(min=LEAST).log() / temperature, dim=-1)
    return temperature**2 * (teacher_logs.exp() * (teacher_logs - student_logs)).sum(dim=-1)


def label_divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """The mean over K labels of `class_divergence` between a label's yes and no: float [B], of probabilities [B, K]."""
    student, teacher = (torch.stack([yes, 1 - yes], dim=-1) for yes in (student, teacher))  # [B, K, 2] twice
    return class_divergence(student, teacher, temperature).mean(dim=-1)
