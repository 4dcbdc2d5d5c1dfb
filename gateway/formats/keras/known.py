"""Classes of Keras that a config may name: of Keras 2 and of Keras 3. What is not here is its author's own."""

from __future__ import annotations

_LAYERS = """
Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention
AugMix AutoContrast Average AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D
BatchNormalization BatchNormalizationV1 BatchNormalizationV2 Bidirectional CategoryEncoding CenterCrop Concatenate
Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D
Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D Convolution3DTranspose
Cropping1D Cropping2D Cropping3D CuDNNGRU CuDNNLSTM CutMix Dense DepthwiseConv1D DepthwiseConv2D Discretization Dot
Dropout ELU EinsumDense Embedding Equalization Flatten GRU GRUCell GRUCellV2 GRUV2 GaussianDropout GaussianNoise
GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D
GlobalAvgPool3D GlobalMaxPool1D GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D
GlobalMaxPooling3D GroupNormalization GroupQueryAttention GroupedQueryAttention HashedCrossing Hashing Identity
InputLayer IntegerLookup LSTM LSTMCell LSTMCellV2 LSTMV2 LayerNormalization LeakyReLU LocallyConnected1D
LocallyConnected2D Masking MaxPool1D MaxPool2D MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum
MelSpectrogram Minimum MixUp MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN
RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomErasing RandomFlip
RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomRotation RandomSaturation RandomShear
RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing ReversibleEmbedding
STFTSpectrogram SeparableConv1D SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN
SimpleRNNCell Softmax Solarization SpatialDropout1D SpatialDropout2D SpatialDropout3D SpectralNormalization
StackedRNNCells StringLookup Subtract SyncBatchNormalization TextVectorization ThresholdedReLU TimeDistributed
UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
TFOpLambda SlicingOpLambda TensorFlowOpLayer
"""
_OTHERS = """
Functional Model Sequential Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer
LecunNormal LecunUniform Ones Orthogonal OrthogonalInitializer RandomNormal RandomUniform STFT STFTInitializer
TruncatedNormal VarianceScaling Zeros L1 L1L2 L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg RadialConstraint
UnitNorm DTypePolicy DTypePolicyMap FloatDTypePolicy Policy QuantizedDTypePolicy QuantizedFloat8DTypePolicy
GlorotUniformV2 GlorotNormalV2 TensorShape __tuple__ __tensor__ __numpy__ __keras_tensor__ __ellipsis__ __slice__
__typespec__ __dtype__ __bool__ __bytes__ tf.Tensor function
"""
_FUNCTIONS = """
celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold standardize
"""
_OPERATIONS = """
Abs Absolute AdaptiveAveragePool AdaptiveMaxPool Add AffineTransform All AllClose Amax Amin Angle Any Append
Arange Arccos Arccosh Arcsin Arcsinh Arctan Arctan2 Arctanh Argmax Argmin Argpartition Argsort Array ArraySplit
AssociativeScan Average AveragePool BatchNorm BinaryCrossentropy Bincount BitwiseAnd BitwiseInvert
BitwiseLeftShift BitwiseNot BitwiseOr BitwiseRightShift BitwiseXor BroadcastTo CDist CTCDecode CTCLoss Cast
CategoricalCrossentropy Cbrt Ceil Celu Cholesky CholeskyInverse Clip Concatenate Cond Conj Conjugate Conv
ConvTranspose ConvertToTensor Copy Corrcoef Correlate Cos Cosh CountNonzero CropImages Cross Cumprod Cumsum
Deg2rad DepthToSpace DepthwiseConv Det Diag Diagflat Diagonal Diff Digitize Divide DivideNoNan Dot
DotProductAttention Dsplit Dstack Eig Eigh Einsum ElasticTransform Elu EmptyLike Equal Erf Erfc Erfinv Exp Exp2
ExpandDims Expm1 ExtractPatches ExtractSequences FFT FFT2 Fabs Flip Fliplr Flipud Floor FloorDivide Fmax Fmin
Fmod Fold ForiLoop Full FullLike GaussianBlur Gcd Gelu Geomspace GetItem Glu Greater GreaterEqual HSVToRGB
HardShrink HardSigmoid HardSilu HardTanh Heaviside Histogram Hsplit Hstack Hypot I0 IFFT2 IRFFT ISTFT Imag
InTopK Inner Inv IsIn Isclose Isfinite Isinf Isnan Isneginf Isposinf Isreal JVP Kron LayerNorm Lcm Ldexp
LeakyRelu LeftShift Less LessEqual Linspace Log Log10 Log1p Log2 LogSigmoid LogSoftmax Logaddexp Logaddexp2
Logdet LogicalAnd LogicalNot LogicalOr LogicalXor Logspace Logsumexp Lstsq LuFactor Map MapCoordinates Matmul
MatrixRank Max MaxPool Maximum Mean Median Meshgrid Min Minimum Mod Moments Moveaxis MultiHot Multiply NanToNum
Nanargmax Nanargmin Nancumprod Nancumsum Nanmax Nanmean Nanmedian Nanmin Nanpercentile Nanprod Nanquantile
Nanstd Nansum Nanvar Ndim Negative Nextafter Nonzero Norm Normalize NotEqual OneHot OnesLike Outer PSNR Pad
PadImages Percentile PerspectiveTransform Pinv Polar Power Prod Ptp Qr Quantile RFFT RGBToGrayscale RGBToHSV
RMSNorm Rad2deg Ravel Real Reciprocal Relu Relu6 Repeat Reshape Resize RightShift Roll Rot90 Round Rsqrt SSIM
STFT SVD SaturateCast ScaleAndTranslate Scan Scatter ScatterUpdate SearchSorted SegmentMax SegmentMin
SegmentProd SegmentReduction SegmentSum Select Selu SeparableConv Sigmoid Sign Signbit Silu Sin Sinc Sinh Size
Slice SliceUpdate Slogdet SobelEdges SoftShrink Softmax Softplus Softsign Solve SolveTriangular Sort
SpaceToDepth SparseCategoricalCrossentropy SparsePlus SparseSigmoid Sparsemax Split Sqrt Square Squareplus
Squeeze Stack Std StopGradient Subtract Sum Swapaxes Switch Take TakeAlongAxis Tan Tanh TanhShrink Tensordot
Threshold Tile TopK Trace Transpose Trapezoid Tril Triu TrueDivide Trunc Unfold Unique UnravelIndex Unstack
Vander Var Vdot VectorizedMap View ViewAsComplex ViewAsReal Vsplit Vstack Where WhileLoop ZerosLike
"""
OPERATIONS = frozenset(_OPERATIONS.split())
"""Operations of Keras 3, which a functional model may have as layers."""
CLASSES = OPERATIONS | frozenset(_LAYERS.split()) | frozenset(_OTHERS.split())
FUNCTIONS = frozenset(_FUNCTIONS.split())
RUNS = {
    "Lambda": "carries Python code",
    "__lambda__": "carries Python code",
    "TFSMLayer": "loads a SavedModel from a path of its own",
    "JaxLayer": "carries code of another framework",
    "FlaxLayer": "carries code of another framework",
    "TorchModuleWrapper": "carries a pickle of PyTorch",
    "ClassMethod": "calls a method by its name",
    "InstanceMethod": "calls a method by its name",
}
"""What a class does that is more than computing."""
MODULES = ("keras", "keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints", "keras.models",
           "keras.activations", "keras.dtype_policies", "keras.src.models", "keras.src.layers", "keras.src.engine",
           "keras.src.ops", "keras.src.initializers", "keras.src.backend.common", "keras.engine", "tf_keras",
           "builtins", "tensorflow.keras", "tensorflow.python.keras")  # fmt: skip
"""Where these classes live; a module below one of them too."""
TF_CALLS = ("math.", "nn.", "__operators__.", "linalg.matmul", "linalg.norm", "linalg.diag", "image.resize", "strings.",
            "compat.v1.transpose", "compat.v1.gather", "compat.v1.nn.", "compat.v1.image.resize")  # fmt: skip
_TF_NAMES = """
add_n argmax argmin broadcast_to cast clip_by_value concat convert_to_tensor cumsum einsum expand_dims eye fill gather
gather_nd identity linspace matmul meshgrid one_hot ones ones_like pad range rank repeat reshape reverse roll shape
slice sort split squeeze stack stop_gradient strided_slice tensordot tile transpose unstack where zeros zeros_like
"""
TF_NAMES = frozenset(_TF_NAMES.split())
"""Functions of TensorFlow that a TFOpLambda of Keras 2 may call: those compute, and do nothing else."""
